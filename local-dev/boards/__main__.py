"""`python -m boards`: write the dashboards, and the table of metrics."""

from boards.files import FOLDER, render_all
from boards.metric_table import README, collect, render, write

for name, text in render_all().items():
    (FOLDER / name).write_text(text)
    print(f"observe/grafana-provisioning/dashboards/{name}")
metrics = collect()
write(render(metrics))
print(f"{README.name}: {len(metrics)} metrics")
