//! The server: the real binary, asked over HTTP on loopback.

mod access;
mod deaths;
mod hooks;
mod house;
mod limits;
mod page;
mod places;
mod remote;
mod show;
