"""The example service, with a route that hands out the evidence behind its findings. Runs in the service's process."""

import pickle

from fastapi import Response

# The example service is on the path of that process only.
from orders.database import db
from orders.main import app


@app.get("/evidence", include_in_schema=False)
async def evidence() -> Response:
    explanation = await db.explain()
    window = (*db.explaining.history.window(), explanation.snapshot)
    return Response(pickle.dumps((window, explanation.facts, explanation.unanswered)))
