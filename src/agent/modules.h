#pragma once

/* Loads the kernel modules that came with the initramfs, in the order given there. What fails is
 * only logged: it shows in what is then missing. */
void modules_load(void);
