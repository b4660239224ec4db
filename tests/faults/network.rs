//! A network that loses and reorders packets: a network namespace in which this program runs itself again.
//!
//! On its loopback device, nftables drops some of the incoming packets, and sends some through a slow class of the traffic
//! control, so that others overtake them. (netem would do both, but many kernels do not have it.)

use std::env;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::Command;
use std::thread;

use fastrand::Rng;

use crate::limits::tcp_counter;
use crate::ordeal::Target;
use crate::peers::client;

/// The variable that tells the program that it runs inside.
const INSIDE: &str = "FAULTS_INSIDE";

/// Sets up packets of a usual network's size, so that there are many. Of 100 packets, 1 is lost and 4 are overtaken.
const SETUP: &str = r#"
set -e
PATH=$PATH:/usr/sbin:/sbin
ip link set lo mtu 1500 gso_max_segs 1 up
tc qdisc add dev lo root handle 1: htb default 1
tc class add dev lo parent 1: classid 1:1 htb rate 10gbit quantum 60000
tc class add dev lo parent 1: classid 1:2 htb rate 20mbit quantum 60000
nft -f - <<'END'
table inet faults {
    chain out { type filter hook output priority 0
        numgen random mod 100 < 4 meta priority set "1:2"
    }
    chain in { type filter hook input priority 0
        numgen random mod 100 < 1 drop
    }
}
END
exec "$0" "$@"
"#;

pub fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs the row `name` inside, and returns its line of the table.
pub fn run_inside(name: &str) -> String {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--net", "sh", "-c", SETUP]).arg(env::current_exe().expect("this program")).args(["--exact", name]);
    let output = command.env(INSIDE, "1").output().expect("unshare (of util-linux) runs");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let row = out.lines().find(|line| line.starts_with("| drops"));
    assert!(output.status.success() && row.is_some(), "in the namespace (it needs tc and nft):\n{out}{error}");
    row.unwrap_or_default().to_owned()
}

/// Clients send a lot over that network.
pub fn drop_and_reorder(target: Target) -> String {
    const SIZE: usize = 2 << 20;
    const CLIENTS: u64 = 20;
    let names = ["TCPOFOQueue", "TCPTimeouts", "TCPSackRecovery"];
    thread::scope(|scope| {
        for seed in 0..CLIENTS {
            scope.spawn(move || echo(target.address, SIZE, &mut Rng::with_seed(target.seed ^ seed)));
        }
    });
    let [late, timeouts, recoveries] = names.map(tcp_counter);
    assert!(late > 0 && recoveries + timeouts > 0, "the network is too good");
    format!(
        "1% of packets lost, 4% overtaken, {CLIENTS} clients with {} MiB each: {late} packets came out of order, \
         {recoveries} recoveries, {timeouts} timeouts",
        SIZE >> 20
    )
}

fn echo(address: SocketAddr, size: usize, rng: &mut Rng) {
    let mut stream = client(address, rng);
    let mut said = vec![0; size];
    rng.fill(&mut said);
    let mut writer = stream.try_clone().expect("a second handle");
    thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&said).expect("the server reads");
            writer.shutdown(Shutdown::Write).expect("half-close");
        });
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("all of it");
        assert!(heard == said, "other bytes came back");
    });
}
