#pragma once
/* The command line: find the command, run it, print the error. Returns the exit status. */
int cli_main(int argc, char **argv);
