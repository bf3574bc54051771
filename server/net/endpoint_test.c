/* SPDX-License-Identifier: MIT
 *
 * Who is asked for which completion, and that a descriptor cannot have two owners.
 */
#include "server/net/endpoint.h"

#include "alloc/base/assert_test.h"
#include "server/mem.h"

enum { FIRST_QD = 500, FAR_QD = 5000 };

struct counted {
    struct endpoint e; /* first */
    unsigned count;
};

static void completed(struct endpoint *e, struct worker *w, const demi_qresult_t *qr)
{
    (void)w, (void)qr;
    ((struct counted *)e)->count++;
}

static void complete(struct endpoints *all, int qd, demi_opcode_t opcode)
{
    demi_qresult_t qr = {.qr_qd = qd, .qr_opcode = opcode};
    endpoint_completed(all, NULL, &qr);
}

static void test_each_completion_goes_to_the_endpoint_of_its_queue(void **state)
{
    (void)state;
    struct endpoints all = {0};
    struct counted near = {{completed}, 0}, far = {{completed}, 0}, wake = {{completed}, 0};
    endpoint_set(&all, FIRST_QD, &near.e);
    endpoint_set(&all, FAR_QD, &far.e);
    all.wake = &wake.e;
    complete(&all, FIRST_QD, DEMI_OPC_PUSH);
    complete(&all, FAR_QD, DEMI_OPC_PUSH);
    complete(&all, FAR_QD, DEMI_OPC_PUSH);
    complete(&all, FAR_QD - 1, DEMI_OPC_PUSH); /* nobody's */
    complete(&all, FAR_QD * 10, DEMI_OPC_PUSH);
    complete(&all, 0, DEMI_OPC_WAKE);
    assert_int_equal(near.count, 1);
    assert_int_equal(far.count, 2);
    assert_int_equal(wake.count, 1);
    endpoint_set(&all, FAR_QD, NULL);
    complete(&all, FAR_QD, DEMI_OPC_PUSH);
    assert_int_equal(far.count, 2);
    endpoint_set(&all, FAR_QD, &near.e); /* the number is given out again */
    complete(&all, FAR_QD, DEMI_OPC_PUSH);
    assert_int_equal(near.count, 2);
    endpoints_fini(&all);
}

static struct counted one, nobody;

static void set_again(void *all) { endpoint_set(all, FIRST_QD, &one.e); }
static void remove_another(void *all) { endpoint_set(all, FIRST_QD + 1, NULL); }
static void set_without_a_function(void *all) { endpoint_set(all, FIRST_QD + 1, &nobody.e); }
static void set_a_socket(void *all) { endpoint_set(all, 3, &one.e); }

static void test_a_descriptor_has_one_owner_who_listens(void **state)
{
    (void)state;
    struct endpoints all = {0};
    one.e.completed = completed;
    endpoint_set(&all, FIRST_QD, &one.e);
    assert_is_seen(set_again, &all, "a second owner", "!all->by_qd[i] ==", __LINE__);
    assert_is_seen(remove_another, &all, "the end of what never was", "!all->by_qd[i] ==", __LINE__);
    assert_is_seen(set_without_a_function, &all, "an endpoint without a function", "e->completed", __LINE__);
    assert_is_seen(set_a_socket, &all, "a number that is no queue's", "qd >= BASE_QD", __LINE__);
    endpoint_set(&all, FIRST_QD, NULL);
    assert_is_seen(remove_another, &all, "a second end", "!all->by_qd[i] ==", __LINE__);
    endpoints_fini(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_completion_goes_to_the_endpoint_of_its_queue),
        cmocka_unit_test(test_a_descriptor_has_one_owner_who_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
