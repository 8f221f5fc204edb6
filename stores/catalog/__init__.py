"""The catalog `stats.duckdb`: views over the Parquet of a run, and SQL on them. A view goes beside its kind."""
