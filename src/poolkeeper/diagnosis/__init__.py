"""Why a pool is slow or empty: from numbers to causes."""
