"""The business of connecting devices to customers: rules and decisions, without Qt, SQL or HTTP."""
