#pragma once
/*
 * The sessions that are there in a VM: the list of them, and coming back to one.
 */
#include "cli/client.h"
#include "wire/message.h"

#include <stdio.h>

/* The caller's, for message_sessions_done. An agent of a version that knows no lists has none. */
int sessions_fetch(struct client *client, struct message_sessions *ret_sessions, struct err *err);

/* A line each, those only that can be attached to if so wanted. */
void sessions_print(const struct message_sessions *sessions, bool only_left, FILE *out);

/* Attaches to the one detached shell there is, and says so unless `quiet`: its exit status. None:
 * *ret_none. Several: a list of them, and an error that says what to do. */
int sessions_return(struct client *client, bool quiet, bool *ret_none, struct err *err);

/* How it is called: what was typed for it. The caller's, and safe to print. */
char *sessions_name(const struct message_listed *listed);
