"""The catalog `stats.duckdb`: views over the Parquet of a run, and SQL on them. A new view goes beside its kind."""
