//! The contract on what runs no guests: the simulated twin and libvirt's test driver.

use crate::{contract, support};
use sutler_drivers::open_node;

#[tokio::test]
async fn the_simulated_twin_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let drivers = open_node("simulated:///one", dir.path()).await.unwrap();
    let spec = support::echoing(&drivers, dir.path()).await;
    contract::a_guest_lives_and_every_call_may_be_repeated(&drivers, spec).await;
    contract::an_unknown_guest_is_absent_and_no_accident(&drivers).await;
    contract::a_node_says_what_it_has(&drivers).await;
    contract::storage_calls_may_be_repeated(&drivers, dir.path()).await;
    contract::an_interface_keeps_its_address(&drivers).await;
}

#[tokio::test]
async fn libvirts_test_driver_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let drivers = open_node("test:///default", dir.path()).await.unwrap();
    let spec = support::echoing(&drivers, dir.path()).await;
    contract::a_guest_lives_and_every_call_may_be_repeated(&drivers, spec).await;
    contract::an_unknown_guest_is_absent_and_no_accident(&drivers).await;
    contract::a_node_says_what_it_has(&drivers).await;
    contract::storage_calls_may_be_repeated(&drivers, dir.path()).await;
    contract::an_interface_keeps_its_address(&drivers).await;
}
