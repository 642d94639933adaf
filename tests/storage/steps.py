"""A small schema with a past: made in step 0001, and changed in 0002 as nobody could without making a table anew."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import Column, ForeignKey, String, Table

import imd.business
from imd.storage.sql import MYSQL_TABLE, Id, metadata
from imd.storage.sql_schema import Migrations

_FIRST = '''
"""Houses."""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None
mysql = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

def upgrade():
    op.create_table("houses", sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False,
        autoincrement=False), sa.Column("name", sa.String(64)), sa.PrimaryKeyConstraint("id", name="pk_houses"), **mysql)
    op.create_table("rooms", sa.Column("house_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("house_id", name="pk_rooms"),
        sa.ForeignKeyConstraint(["house_id"], ["houses.id"], name="fk_rooms_house_id_houses", ondelete="CASCADE"), **mysql)
'''
_SECOND = '''
"""The name gets longer and must be there; houses get a colour."""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"

def upgrade():
    op.execute("UPDATE houses SET name = 'nameless' WHERE name IS NULL")
    with op.batch_alter_table("houses") as houses:
        houses.alter_column("name", existing_type=sa.String(64), type_=sa.String(100), nullable=False)
        houses.add_column(sa.Column("colour", sa.String(16), nullable=True))
        houses.create_unique_constraint("uq_houses_name", ["name"])
'''
_BROKEN = '''
"""Half of it works."""
from alembic import op

revision, down_revision = "0002", "0001"

def upgrade():
    op.drop_table("rooms")
    op.execute("ALTER TABLE nowhere ADD COLUMN x INTEGER")
'''

FIRST = metadata()
Table(
    "houses",
    FIRST,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("name", String(64)),
    **MYSQL_TABLE,
)
Table(
    "rooms",
    FIRST,
    Column("house_id", Id, ForeignKey("houses.id", ondelete="CASCADE"), primary_key=True),
    **MYSQL_TABLE,
)

SECOND = metadata()
Table(
    "houses",
    SECOND,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("name", String(100), nullable=False, unique=True),
    Column("colour", String(16)),
    **MYSQL_TABLE,
)
Table(
    "rooms",
    SECOND,
    Column("house_id", Id, ForeignKey("houses.id", ondelete="CASCADE"), primary_key=True),
    **MYSQL_TABLE,
)


def releases(folder: Path) -> tuple[Migrations, Migrations, Migrations]:
    """The steps as three releases have them: the first, the second, and one whose second step fails half-way."""
    made = []
    for name, second in (("first", ""), ("second", _SECOND), ("broken", _BROKEN)):
        versions = folder / name / "versions"
        versions.mkdir(parents=True)
        shutil.copy(Path(imd.business.__path__[0]) / "migrations" / "env.py", folder / name)
        (versions / "v0001.py").write_text(_FIRST)
        if second:
            (versions / "v0002.py").write_text(second)
        made.append(Migrations(folder / name, first="0001", head="0002" if second else "0001"))
    return made[0], made[1], made[2]
