"""The tables of the business role, by domain; versioned and migrated together (``imd.business.schema``)."""
