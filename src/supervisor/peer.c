#include "supervisor/peer.h"

#include <sys/socket.h>
#include <unistd.h>

static int peer_uid(int fd, uid_t *ret_uid)
{
#ifdef __linux__
	struct ucred cred;
	socklen_t length = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) < 0)
		return -1;
	*ret_uid = cred.uid;
	return 0;
#else
	gid_t gid;

	return getpeereid(fd, ret_uid, &gid);
#endif
}

bool peer_is_us(int fd)
{
	uid_t uid;

	return peer_uid(fd, &uid) == 0 && (uid == geteuid() || uid == 0);
}
