# The words are sorted.
LC_ALL=C sort -c words.txt
