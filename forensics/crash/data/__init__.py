"""Tables as data: bug check codes and start-up screens, each file with its sources and their licence."""
