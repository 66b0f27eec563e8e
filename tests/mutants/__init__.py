"""Mutants of the notebooks' solutions: what a check has to refuse, made by rule.

A mutant is a solution with one thing changed, as a slip or a misunderstanding would change it:
`operators` makes them from the syntax tree, `judging` has each of them judged in a process of its
own. Those that are as right as the solution stand in equivalent.toml, each with the reason.

mutmut and cosmic-ray change modules on disk and start the tests anew for each mutant, two seconds
of imports for a check of ten milliseconds; the solutions are regions of notebook cells, which no
module contains; and neither knows the slips of this course, such as a detached loss, a wrong `dim`
or an activation behind the last layer.
"""
