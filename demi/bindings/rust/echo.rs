// SPDX-License-Identifier: MIT
//! tcp-echo in Rust: echo --server|--client ADDR PORT [SIZE] [COUNT]

use demikernel::{spawn, Queue, Runtime};
use std::io;
use std::net::SocketAddr;
use std::process::exit;

async fn echo(connection: Queue) -> io::Result<()> {
    loop {
        let bytes = connection.pop().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        connection.push(bytes).await?; // what came in goes out as it lies
    }
}

async fn serve(at: SocketAddr) -> io::Result<()> {
    let listener = Queue::stream(at)?;
    listener.bind(at)?;
    listener.listen(128)?;
    loop {
        // A client that went before it was accepted is no reason to end.
        if let Ok((connection, _)) = listener.accept().await {
            spawn(async {
                if let Err(error) = echo(connection).await {
                    eprintln!("connection: {error}");
                }
            })?;
        }
    }
}

async fn ask(to: SocketAddr, size: usize, count: usize) -> io::Result<()> {
    let connection = Queue::stream(to)?;
    connection.connect(to).await?;
    for i in 0..count {
        let message = vec![i as u8; size];
        let pushed = connection.push_bytes(&message); // reads go on while it is on its way
        let mut got = 0;
        while got < size {
            let bytes = connection.pop().await?;
            if bytes.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            if message.get(got..got + bytes.len()) != Some(&bytes[..]) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the echo is another"));
            }
            got += bytes.len();
        }
        pushed.await?;
    }
    println!("{count} echoes of {size} bytes");
    Ok(())
}

fn usage(program: &str) -> ! {
    eprintln!("usage: {program} --server|--client ADDR PORT [SIZE] [COUNT]");
    exit(1)
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let number = |at: usize, otherwise: usize| words.get(at).map_or(Some(otherwise), |w| w.parse().ok().filter(|n| *n > 0));
    let address = words.get(2).zip(words.get(3)).and_then(|(host, port)| Some(SocketAddr::new(host.parse().ok()?, port.parse().ok()?)));
    let (address, size, count) = match (address, number(4, 64), number(5, 1000)) {
        (Some(address), Some(size), Some(count)) if words.len() <= 6 => (address, size, count),
        _ => usage(&words[0]),
    };
    let result = Runtime::new(None).and_then(|rt| match words[1].as_str() {
        "--server" => rt.run(serve(address))?,
        "--client" => rt.run(ask(address, size, count))?,
        _ => usage(&words[0]),
    });
    if let Err(error) = result {
        eprintln!("{error}");
        exit(1)
    }
}
