/* The digests that others compute, around the sizes where the padding takes another block. */
#include "base/sha256.h"
#include "unit/test.h"

static void digests_are_those_of_the_standard(void)
{
	char hex[SHA256_HEX];
	char long_text[119];

	sha256_hex("", 0, hex);
	CHECK_STR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_hex("abc", 3, hex);
	CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	memset(long_text, 'a', sizeof(long_text));
	sha256_hex(long_text, 119, hex);
	CHECK_STR(hex, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb");
	sha256_hex(long_text, 56, hex);
	CHECK_STR(hex, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
}

TEST_MAIN(TEST(digests_are_those_of_the_standard))
