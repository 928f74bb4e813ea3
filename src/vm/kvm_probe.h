#pragma once
/*
 * Whether KVM really runs guest code at speed. That /dev/kvm opens says little: nested machines can
 * have one that emulates instruction by instruction (a kernel would boot in hours) and even runs a
 * trivial hlt probe. So a child runs a counted loop in protected mode and must finish in time.
 */
#include "base/err.h"
#include "vm/vm.h"

/* Decides the accelerator from DXVM_ACCEL ("kvm", "tcg", unset) and the probe. *ret_reason is one
 * line for people that says why it is TCG ("" for KVM, and when the user asked for TCG), the
 * caller's. ERR_USAGE for another value of DXVM_ACCEL, ERR_UNSUPPORTED for kvm that does not work.
 */
int kvm_choose(enum vm_accel *ret_accel, char **ret_reason, struct err *err);
