"""The billing company: one client in Rev.io's shapes, the rate governor, the sandbox, the signed notification.

The only package that speaks HTTP to the outside.
"""
