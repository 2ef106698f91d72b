"""Who may read which view on PostgreSQL: kept while views are made again."""

from sqlalchemy import Connection, text

from db.views import VIEWS

_GRANTS = text(
    """
    SELECT c.relname, r.rolname FROM pg_class c
    CROSS JOIN LATERAL aclexplode(c.relacl) a
    LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE c.relkind = 'v' AND c.relnamespace = CAST(current_schema() AS regnamespace) AND c.relname = ANY(:views)
      AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
    ORDER BY 1, 2
    """
)

Grants = list[tuple[str, str | None]]
"""Views and who may read them; None stands for everyone."""


def view_grants(connection: Connection) -> Grants:
    """The rights that people have on the views, beside their owner; none on SQLite."""
    if connection.dialect.name != "postgresql":
        return []
    names = [view.name for view in VIEWS]
    return [(view, role) for view, role in connection.execute(_GRANTS, {"views": names})]


def give_again(connection: Connection, grants: Grants) -> None:
    """Give rights that `view_grants` found, on views that were made anew since."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    for view, role in grants:
        to = "PUBLIC" if role is None else quote(role)
        # Without parameters the driver takes a percent sign in a name as it is.
        statement = f"GRANT SELECT ON {quote(view)} TO {to}"
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def act_as_owner(connection: Connection) -> None:
    """Let the catalog's owner own all that is made in this transaction, whoever runs the upgrade.

    What an administrator makes would otherwise be the administrator's, and the owner's readers could not read it.
    """
    if connection.dialect.name != "postgresql":
        return
    owner = connection.scalar(
        text(
            "SELECT tableowner FROM pg_tables WHERE tablename = 'alembic_version' AND schemaname = current_schema() "
            "AND tableowner <> current_user"
        )
    )
    if owner is not None:
        role = connection.dialect.identifier_preparer.quote_identifier(owner)
        connection.exec_driver_sql(f"SET LOCAL ROLE {role}", execution_options={"no_parameters": True})
