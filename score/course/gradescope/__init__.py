"""Grading on Gradescope: a course's autograder as a zip, and what runs there for each submission.

It is the class's own grading, with as many episodes as there is time for, and without films.
`collect` takes the files and repairs the notebooks, and `grade_part` grades them in the strictest
sandbox that works there; where none does, nothing is run. Answers in words earn nothing in it: a
person gives their points, by a rubric of Gradescope's.
"""
