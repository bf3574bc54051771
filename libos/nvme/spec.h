/* SPDX-License-Identifier: MIT
 *
 * NVMe as it stands in registers and memory: what of it the driver uses, with the specification's words and numbers.
 * Sections are those of the NVM Express Base Specification 1.4, which later ones have not changed in these things.
 */
#ifndef NVME_SPEC_H
#define NVME_SPEC_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#define NVME_PAGE_SHIFT 12 /* CC.MPS = 0: pages of 4 KiB, and nothing else */
#define NVME_PAGE       (1u << NVME_PAGE_SHIFT)

/* --- registers, 3.1 ----------------------------------------------------------------------------------------------- */

enum nvme_register {
    NVME_CAP = 0x00,   /* controller capabilities, 64 bits */
    NVME_VS = 0x08,    /* version */
    NVME_INTMS = 0x0c, /* interrupt mask set: of pins and MSI, not of MSI-X */
    NVME_CC = 0x14,    /* controller configuration */
    NVME_CSTS = 0x1c,  /* controller status */
    NVME_AQA = 0x24,   /* admin queue attributes */
    NVME_ASQ = 0x28,   /* admin submission queue's address, 64 bits */
    NVME_ACQ = 0x30,   /* admin completion queue's */
    NVME_DOORBELLS = 0x1000,
};

static inline uint32_t nvme_cap_mqes(uint64_t cap) { return (uint32_t)(cap & 0xffff) + 1; } /* entries */
static inline uint32_t nvme_cap_to(uint64_t cap) { return (uint32_t)(cap >> 24 & 0xff); }   /* of 500 ms */
static inline unsigned nvme_cap_dstrd(uint64_t cap) { return (unsigned)(cap >> 32 & 15); }
static inline bool nvme_cap_has_nvm(uint64_t cap) { return cap >> 37 & 1; }
static inline unsigned nvme_cap_mpsmin(uint64_t cap) { return (unsigned)(cap >> 48 & 15); }

#define NVME_CC_EN       1u
#define NVME_CC_SHN      (1u << 14)            /* normal shutdown */
#define NVME_CC_SHN_MASK (3u << 14)            /* both bits */
#define NVME_CC_ENTRIES  (6u << 16 | 4u << 20) /* IOSQES: 64 bytes, IOCQES: 16 */

#define NVME_CSTS_RDY       1u
#define NVME_CSTS_CFS       2u /* fatal */
#define NVME_CSTS_SHST_MASK (3u << 2)
#define NVME_CSTS_SHST_DONE (2u << 2)
#define NVME_GONE           UINT32_MAX /* what is read from a device that is not there */

/* --- queue entries, 4.2 and 4.6 ----------------------------------------------------------------------------------- */

struct nvme_sqe {
    uint8_t opcode, flags;
    uint16_t cid;
    uint32_t nsid;
    uint64_t reserved, metadata;
    uint64_t prp1, prp2;
    uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
static_assert(sizeof(struct nvme_sqe) == 64, "IOSQES 6");

struct nvme_cqe {
    uint32_t result, reserved;
    uint16_t sq_head, sq_id;
    uint16_t cid;
    uint16_t status; /* bit 0 is the phase */
};
static_assert(sizeof(struct nvme_cqe) == 16, "IOCQES 4");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "entries are little-endian, and so is who fills them");

/* A completion's status without the phase, 4.6.1: SC in bits 0 to 7, SCT in 8 to 10, DNR (do not retry) in 14. */
#define NVME_STATUS(sct, sc) ((uint16_t)((sct) << 8 | (sc)))
#define NVME_STATUS_MASK     0x7ffu
#define NVME_DNR             (1u << 14)
enum nvme_status {
    NVME_SC_INVALID_OPCODE = NVME_STATUS(0, 0x01),
    NVME_SC_INVALID_FIELD = NVME_STATUS(0, 0x02),
    NVME_SC_DATA_TRANSFER = NVME_STATUS(0, 0x04),
    NVME_SC_ABORTED = NVME_STATUS(0, 0x07),
    NVME_SC_INVALID_NAMESPACE = NVME_STATUS(0, 0x0b),
    NVME_SC_WRITE_PROTECTED = NVME_STATUS(0, 0x20),
    NVME_SC_LBA_RANGE = NVME_STATUS(0, 0x80),
    NVME_SC_CAPACITY = NVME_STATUS(0, 0x81),
    NVME_SC_READ_ONLY = NVME_STATUS(1, 0x82),
    NVME_SC_WRITE_FAULT = NVME_STATUS(2, 0x80),
    NVME_SC_READ_ERROR = NVME_STATUS(2, 0x81),
};

/* --- commands, 5 and 6 -------------------------------------------------------------------------------------------- */

enum nvme_admin_opcode {
    NVME_DELETE_SQ = 0x00,
    NVME_CREATE_SQ = 0x01,
    NVME_GET_LOG_PAGE = 0x02,
    NVME_DELETE_CQ = 0x04,
    NVME_CREATE_CQ = 0x05,
    NVME_IDENTIFY = 0x06,
    NVME_ABORT = 0x08,
    NVME_SET_FEATURES = 0x09,
    NVME_ASYNC_EVENT = 0x0c,
};
enum nvme_io_opcode { NVME_FLUSH = 0x00, NVME_WRITE = 0x01, NVME_READ = 0x02, NVME_DATASET = 0x09 };

#define NVME_CNS_NAMESPACE     0u
#define NVME_CNS_CONTROLLER    1u
#define NVME_FEATURE_QUEUES    0x07u
#define NVME_QUEUE_CONTIGUOUS  1u
#define NVME_QUEUE_INTERRUPTS  2u
#define NVME_FUA               (1u << 30) /* of cdw12 */
#define NVME_DATASET_DISCARD   (1u << 2)  /* of cdw11: the ranges' blocks are not needed any more */
#define NVME_DATASET_RANGE_MAX 16         /* bytes of one range: attributes, blocks, first block */

#endif
