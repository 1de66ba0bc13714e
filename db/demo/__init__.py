"""Demo data: invented carriers and customers, devices by the hundred thousand, and every case of the check on purpose.

The same seed and date give the same data. :func:`generate` fills an empty database; :mod:`db.demo.cases` finds devices
by case; :mod:`db.demo.billing` tells the billing sandbox what it has to know.
"""
