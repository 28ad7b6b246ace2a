"""The demo behind `ringbus demo`: a trading pipeline on a real tape of trades and best quotes."""
