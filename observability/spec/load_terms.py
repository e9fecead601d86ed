"""What the compiler and the load runs both use: content types of bodies, and a rounding error."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
# Of a share: 0.93 and its budget have no exact binary form, but 93 % allows exactly 7 bad of 100.
SHARE_ROUNDING = 1e-9
