"""Optimizers as scalar recurrences, written from their papers, to judge the reference by.

Each function is one step of one number. Called with floats it computes in double precision. Called with
`decimal.Decimal` everywhere, and `sqrt=Decimal.sqrt`, it computes to as many digits as the decimal context has.
"""
