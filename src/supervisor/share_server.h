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
 *	--nonce HEX --previous HEX
 *	                        of this server and of the one before on this link; optional
 *
 * Ends with 0 when the port is closed, 1 with a line on standard error otherwise.
 */
int share_server_main(int argc, char **argv);
