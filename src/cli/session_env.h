#pragma once
/* Which of the host's environment goes along into a session: what describes the terminal, the
 * language, the time zone and the way to the network; nothing else. */

/* A NULL-terminated vector of NAME=VALUE that points into environ; free() it. */
char **session_env(void);
