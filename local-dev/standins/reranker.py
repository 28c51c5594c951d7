"""A reranker for development: the `/rerank` of Jina, Cohere, vLLM or text-embeddings-inference, over a scorer of words.

    RERANKER_API_KEY=… python -m standins.reranker --host 127.0.0.1 --port 8095 --shape tei

It scores by the words that a text shares with the query, alike each time: it says nothing of how good a reranker is.
"""

import os
import sys

from ml_shared.testing.reranker import RerankerState, RerankShape, build_reranker_app
from standins.serving import arguments_of, serve


def main() -> int:
    """Serve until a signal ends it."""
    parser = arguments_of("standins.reranker", __doc__)
    parser.add_argument("--shape", type=RerankShape, choices=list(RerankShape), default=RerankShape.JINA)
    arguments = parser.parse_args()
    api_key = os.environ.get("RERANKER_API_KEY", "")
    if not api_key:
        print("RERANKER_API_KEY is not set; it is the key that callers have to send", file=sys.stderr)
        return 2
    app = build_reranker_app(RerankerState(shape=arguments.shape, key=api_key))
    return serve(app, f"reranker ({arguments.shape})", arguments.host, arguments.port)


if __name__ == "__main__":
    sys.exit(main())
