#pragma once
/*
 * The process `dxvm serve-share`, started by the supervisor, one per VM: serves directories to the
 * guest over the share port, with the ids of the project directory's owner, no capabilities and no
 * descriptors but those it was given.
 *
 *	--port FD               the share port (stream socket)
 *	--share NUMBER:FD[:ro][:devbox]
 *	                        an open directory; repeated. `devbox`: its top-level .devbox is the
 *	                        guest's own
 *	--orphans FD            private directory for unlinked files in use; optional
 *	--hidden FD             the data directory, hidden from every share; optional
 *	--guest UID:GID         the guest's ids for this server's own
 *	--state FD              memory that outlives this process (share_state.h); optional. A
 *	                        server started on it goes on as the one before
 *	--control FD            stream socket to the supervisor; optional. Each byte of enum
 *	                        share_control is answered with the same byte when it is done
 *
 * Ends with 0 when the port is closed, 1 with a line on standard error otherwise.
 */
enum share_control {
	/* No request is under way any more and none is taken, the state is compact: it can be
	 * copied. Waits for the guest; the supervisor decides for how long. */
	SHARE_CONTROL_QUIESCE = 'q',
	SHARE_CONTROL_RESUME = 'r',
};

int share_server_main(int argc, char **argv);
