#pragma once
/*
 * Where base/file could fail: asked right before each operation that changes what lies on a disk.
 * In the programs that people run the answer is always 0, whatever the environment says
 * (base/fault.c). A test program is linked with a fault_point of its own, which then stands in the
 * place of that one, and fails or dies at the n-th operation (tests/fault_points.c).
 */

/* operation: "create", "write", "size", "sync", "rename", "remove", "mkdir". 0, or -1 with errno: do
 * not do it, it has failed. */
int fault_point(const char *operation, const char *name);
