"""PostgreSQL and Redis: connections, pools, migrations, scripts."""
