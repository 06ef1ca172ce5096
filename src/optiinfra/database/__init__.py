"""PostgreSQL: models, migrations, repositories."""
