"""A FastAPI app with the defaults of prometheus-fastapi-instrumentator.

python fastapi_default.py PORT
"""

import sys

import uvicorn
from fastapi import FastAPI
from prometheus_fastapi_instrumentator import Instrumentator

app = FastAPI()
Instrumentator().instrument(app).expose(app)


@app.get("/orders")
def list_orders() -> list[int]:
    """Return the ids of all orders."""
    return [7, 8]


@app.get("/orders/{order_id}")
def get_order(order_id: int, fail: bool = False) -> dict[str, int]:
    """Return an order; fail if the query says so."""
    if fail:
        raise RuntimeError("the order is lost")
    return {"id": order_id}


@app.delete("/orders/{order_id}", status_code=204)
def delete_order(order_id: int) -> None:
    """Delete an order."""


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]))
