//! Proves that the parser needs neither std nor an allocator: a static library that uses all of it.
//!
//! If any crate used std, rustc would link it and refuse to build, because there would be two panic handlers. Because
//! no allocator is defined, rustc refuses `alloc` too.
#![no_std]
#![forbid(unsafe_code)]

use core::fmt::Write;
use core::panic::PanicInfo;

use proxy_protocol_header::tlv::Ssl;
use proxy_protocol_header::{Addresses, Command, Status, Tlv, V2, encode_v1, error_offset, parse, tlv};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Counts the bytes that are displayed.
struct Count(usize);

impl Write for Count {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// Keeps the function in the library without an exported name, which would be an unsafe attribute.
#[used]
static KEPT: extern "C" fn(&[u8; 512], &mut [u8; 1024]) -> usize = reencode;

/// Parses, reads, displays and encodes, so that all of it is compiled and linked. Returns the number of bytes written, or
/// the offset of the error.
extern "C" fn reencode(input: &[u8; 512], output: &mut [u8; 1024]) -> usize {
    let header = match parse(input) {
        Ok(Status::Complete(header)) => header,
        Ok(Status::Partial) => return 0,
        Err(_) => return error_offset(input).unwrap_or(0),
    };
    let mut count = Count(0);
    if write!(count, "{header}").is_err() || header.source().is_none() {
        return encode_v1(&Addresses::Unspecified).len();
    }
    let mut value = [0; 256];
    let authority = header.tlvs.authority().ok().flatten().unwrap_or_default();
    let inside = [Tlv { kind: tlv::SSL_CN, value: authority.as_bytes() }];
    let Ok(ssl) = Ssl::encode(Ssl::TLS, count.0 as u32, &inside, &mut value) else { return 0 };
    let v2 = V2 { command: Command::Proxy, addresses: header.addresses, tlvs: &[ssl], crc32c: true };
    v2.encode_to_slice(output).unwrap_or(0)
}
