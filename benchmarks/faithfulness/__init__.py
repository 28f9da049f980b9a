"""Whether attention weights say what forecasts rest on."""
