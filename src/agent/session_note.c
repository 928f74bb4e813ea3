/*
 * What a session's program leaves for the list of sessions: the number of the environment it opened
 * (base/fingerprint.h). It lies in memory that both have open, because the program goes on as
 * another one, whose process we can tell nothing from. Whatever else the program does with those
 * eight bytes, nobody waits for it and nothing but a number is read.
 */
#include "agent/session_internal.h"

#include "base/fingerprint.h"
#include "base/path.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define LEAVER "dxvm-devbox"

/* Others get no descriptor that they did not ask for. */
int session_note_make(const struct message_session *wanted, int *ret_fd, struct err *err)
{
	auto_close int fd = -1;

	if (!wanted->arguments[0] || strcmp(path_base(wanted->arguments[0]), LEAVER) != 0)
		return 0;
	fd = memfd_create("dxvm note", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, sizeof(uint64_t)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_sys(err, "make room for a note of the session");
	*ret_fd = take_fd(&fd);
	return 0;
}

bool session_note_give(int fd)
{
	if (fd < 0)
		return true;
	return (fd == FINGERPRINT_FD ? fcntl(fd, F_SETFD, 0) : dup2(fd, FINGERPRINT_FD)) >= 0;
}

uint64_t session_note_read(const struct session *session)
{
	uint64_t environment;

	if (session->note < 0 ||
	    pread(session->note, &environment, sizeof(environment), 0) != sizeof(environment))
		return FINGERPRINT_NONE;
	return environment;
}
