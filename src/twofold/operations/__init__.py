"""What an operator may ask of a system and do to it. The command line, HTTP and the console call these.

Some work on a running System, others on what it stands on, since an operator asks most when nothing runs. All of them
return plain values.
"""
