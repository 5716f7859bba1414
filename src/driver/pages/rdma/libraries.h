/*
 * libraries.h - the door to librdmacm and libibverbs, which are loaded when the first driver of this kind is opened: few hosts
 * have them, and fewer need them.
 *
 * Errors:  -ENODEV they are not installed (the message names the packages).
 * Threads: any.
 */
#ifndef DRIVER_PAGES_RDMA_LIBRARIES_H
#define DRIVER_PAGES_RDMA_LIBRARIES_H

#include <rdma/rdma_cma.h>

#include "base/err.h"

#define RDMA_FUNCTIONS(each) \
	each(create_event_channel) each(destroy_event_channel) each(get_cm_event) each(ack_cm_event) \
	each(create_id) each(destroy_id) each(bind_addr) each(listen) each(resolve_addr) each(resolve_route) \
	each(create_qp) each(destroy_qp) each(connect) each(accept) each(reject) each(disconnect) each(get_devices) each(free_devices)
#define IBV_FUNCTIONS(each) each(reg_mr) each(dereg_mr) each(create_cq) each(destroy_cq) each(wc_status_str)

#define RDMA_MEMBER(name) __typeof__(rdma_##name) *name;
#define IBV_MEMBER(name) __typeof__(ibv_##name) *name;
struct rdma_libraries { RDMA_FUNCTIONS(RDMA_MEMBER) IBV_FUNCTIONS(IBV_MEMBER) };
#undef RDMA_MEMBER
#undef IBV_MEMBER

int rdma_libraries_load(struct rdma_libraries *ret_libraries, struct err *err);

#endif
