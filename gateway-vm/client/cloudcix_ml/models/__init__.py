"""What the platform answers and takes, as models: named as in its OpenAPI documents, shorter where that says as much."""
