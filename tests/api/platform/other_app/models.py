"""The table of the orders."""

from datetime import datetime

from sqlalchemy import MetaData, String
from sqlalchemy.orm import Mapped, mapped_column

from api.platform.clock import now
from api.platform.tables import Base


class OrdersBase(Base):
    """A base with its own metadata: another app's tables may be in the same process."""

    __abstract__ = True
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


class Order(OrdersBase):
    """An order; audited, because customers may ask who changed it."""

    __tablename__ = "orders"
    __audited__ = True

    id: Mapped[str] = mapped_column(String(20), primary_key=True)
    amount: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(default=now)
    shipped_at: Mapped[datetime | None]
