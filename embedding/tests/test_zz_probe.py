import time
from pgvector import HalfVector
import numpy as np
from app.core.storage import search as storage
from app.core.storage.search import Scope
from tests.conftest import *
from tests.documents import *
from ml_shared.testing.endpoint import DEFAULT_DIMENSIONS

async def test_mem(service, monkeypatch):
    await index(service, "x", owner="big"); await index(service, *[f"s{i}" for i in range(20)], owner="small")
    d = await service.pool.fetchval("SELECT id FROM documents WHERE owner='big'")
    r = np.random.default_rng(1)
    v = r.normal(size=(30000, DEFAULT_DIMENSIONS)).astype(np.float32) * 0.3; v[:, 0] += 3
    await service.pool.execute("UPDATE chunks SET embedding = $1 WHERE owner='small'", HalfVector([-1.0]+[0.01]*(DEFAULT_DIMENSIONS-1)))
    b=time.time()
    async with service.pool.acquire() as c:
        await c.copy_records_to_table("chunks", columns=("owner","corpus","document_id","chunk_index","start_offset","end_offset","token_count","model_id","text_hash","text","heading_path","embedding"),
          records=[("big","docs",d,i,0,0,0,service.model.id,b"%d"%i,"t",[],HalfVector(v[i])) for i in range(30000)], timeout=120)
    print("load", time.time()-b, "dims", DEFAULT_DIMENSIONS)
    q = HalfVector([1.0]+[0.0]*(DEFAULT_DIMENSIONS-1))
    for m in (1, 2, 4, 8, 16):
        monkeypatch.setattr(storage, "SCAN_MEMORY_IN_WORK_MEM", m)
        async with storage.snapshot(service.pool) as c:
            b=time.time()
            found = await storage.nearest(c, Scope("small", ["docs"], service.model), q, limit=10, exact=False)
            print("mult", m, "found", len(found), round(time.time()-b,3))
