"""Research with fusionjax: comparisons of its fusions, update rules and intervals.

Nothing here is part of the package. Each script beside this file is a command; what it runs is in
the folders: ``data`` (markets and sets whose truth is known), ``fusion``, ``streams``, and the
``configs`` that name their settings.
"""
