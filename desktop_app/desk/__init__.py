"""What a person can do here. Window, command line and web service talk to these protocols and to nothing below them."""
