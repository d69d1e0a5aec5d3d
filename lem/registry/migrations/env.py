"""What Alembic runs for each command: the migrations, in the transaction of the caller."""

from __future__ import annotations

from alembic import context

from lem.registry.migrate import VERSION_TABLE
from lem.registry.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
