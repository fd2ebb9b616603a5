"""A course: exercises with numbers of their own for each student, worksheets, grades, and the files that platforms want."""
