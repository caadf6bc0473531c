"""Who may say and hear what on the broker, and a mosquitto that holds them to it."""
