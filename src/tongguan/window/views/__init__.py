"""The views: one function a route, from a request to an answer."""
