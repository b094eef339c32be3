//! The operations by their names in the language. The later names of the administrator's API (`modifyX`, `updateX`) mean the
//! same.

use super::{
    Platform, accounts, ask::Ask, blobs, blocks, customers, deletion, images, keys, measures, metadata, payments,
    pluggables, reads, servers, settings,
};
use serde_json::Value;
use sutler_lua::HostError;
use sutler_model::Noun;
use uuid::Uuid;

/// Declares the operations by their names, each with what answers it.
macro_rules! operations {
    ($ask:ident: $($($name:literal)|+ => $answer:expr,)*) => {
        /// Whether there is an operation of this name.
        pub(super) fn offers(operation: &str) -> bool {
            matches!(operation, $($($name)|+)|*)
        }

        /// Does an operation.
        ///
        /// # Errors
        /// Those of the operation; `Unsupported` for one that does not exist.
        pub(super) async fn answer($ask: &Ask<'_>) -> Result<Value, HostError> {
            match $ask.args.operation {
                $($($name)|+ => $answer,)*
                other => Err(HostError::Unsupported(other.to_owned())),
            }
        }
    };
}

operations! {
    ask:
    "addKey" | "modifyKey" | "removeKey" => keys::change(ask.platform, ask.caller, ask.who, ask.args).await,
    "setUserKeys" => keys::set_all(ask).await,
    "createServer" => servers::create(ask).await,
    "modifyServer" | "updateServer" => servers::modify(ask).await,
    "changeServerStatus" => servers::change_status(ask).await,
    "startServer" | "stopServer" | "shutdownServer" | "killServer" | "rebootServer" => servers::named(ask).await,
    "cancelJob" => servers::cancel(ask).await,
    "deleteJob" => servers::delete_job(ask).await,
    "createCustomer" => customers::create(ask).await,
    "updateCustomer" => customers::update(ask).await,
    "modifyCustomer" => customers::modify(ask).await,
    "createBillingEntity" => customers::create_entity(ask).await,
    "createUser" | "createAPIKeyUser" => accounts::create(ask).await,
    "updateUser" => accounts::update(ask).await,
    "modifyUser" => accounts::modify(ask).await,
    "lockUser" => accounts::lock(ask, true).await,
    "unlockUser" => accounts::lock(ask, false).await,
    "createImage" | "createImageTemplate" => images::create(ask).await,
    "modifyImage" | "updateImage" => images::modify(ask).await,
    "publishImage" | "publishResource" => images::publish(ask, true).await,
    "revokeImage" | "revokeResource" => images::publish(ask, false).await,
    "createFDL" | "createFDLCodeBlock" | "createCodeBlock" => blocks::create(ask).await,
    "modifyFDL" | "modifyFDLCodeBlock" | "updateFDL" | "updateFDLCodeBlock" => blocks::modify(ask).await,
    "payInvoice" => payments::pay(ask).await,
    "createPaymentMethodInstance" => payments::create(ask).await,
    "modifyPaymentMethodInstance" | "updatePaymentMethodInstance" => payments::modify(ask).await,
    "cancelTransaction" => payments::cancel(ask).await,
    "resumeTransaction" => payments::resume(ask).await,
    "testPaymentMethod" => payments::test(ask).await,
    "createBlob" => blobs::create(ask).await,
    "modifyBlob" | "updateBlob" => blobs::modify(ask).await,
    "getBlobContent" => blobs::read(ask).await,
    "modifyBillingEntity" | "updateBillingEntity" => customers::modify_entity(ask).await,
    "modifyResource" | "updateResource" => modify(ask).await,
    "deleteResource" => deletion::delete(ask).await,
    "deleteServer"
    | "deleteUser"
    | "deleteImage"
    | "deleteCustomer"
    | "deleteBlob"
    | "deleteFDL"
    | "deleteFDLCodeBlock"
    | "deletePluggableResource" => deletion::delete(ask).await,
    "createPluggableResource" => pluggables::create(ask).await,
    "modifyPluggableResource" | "updatePluggableResource" => pluggables::modify(ask).await,
    "invokeAction" => pluggables::invoke(ask).await,
    "invokeReportMethod" => pluggables::report(ask).await,
    "updateConfigurationProviderValues" => settings::update(ask.platform, ask.caller, ask.args).await,
    "getMeasures" => measures::measures(ask.platform, ask.who, ask.args).await,
    "getMeasuredValues" => measures::measured_values(ask.platform, ask.who, ask.args).await,
    "isPermitted" => reads::is_permitted(ask).await,
    "checkPermissions" => reads::check_permissions(ask).await,
    "getResourceTypes" => Ok(reads::resource_types()),
    "listResourceKeysForResource" => reads::keys(ask).await,
    "updateMetadata" => metadata::update(ask).await,
    "sendEmail" => customers::email(ask).await,
}

/// `modifyResource(bean, when)`: by what the bean stands for.
async fn modify(ask: &Ask<'_>) -> Result<Value, HostError> {
    let id = super::skeleton::Skeleton(ask.args.bean(0, "a resource")?).own_id()?;
    match noun_of(ask.platform, id) {
        Some(Noun::Server) => servers::modify(ask).await,
        Some(Noun::Customer) => customers::modify(ask).await,
        Some(Noun::User) => accounts::modify(ask).await,
        Some(Noun::Image) => images::modify(ask).await,
        Some(Noun::Script) => blocks::modify(ask).await,
        Some(Noun::PluggableResource) => pluggables::modify(ask).await,
        Some(Noun::PaymentInstance) => payments::modify(ask).await,
        Some(Noun::Blob) => blobs::modify(ask).await,
        Some(Noun::BillingEntity) => customers::modify_entity(ask).await,
        Some(Noun::Disk) => Err(HostError::Absent {
            nouns: super::absent::nouns("modifyDisk").unwrap_or("disks").to_owned(),
            operation: ask.args.operation.to_owned(),
        }),
        _ => Err(HostError::refused("NO_RESOURCE_FOUND", "there is no such resource")),
    }
}

/// What kind of record has this id, whoever asks: the operation on it decides who may.
pub(super) fn noun_of(platform: &Platform, id: Uuid) -> Option<Noun> {
    const NOUNS: [Noun; 12] = [
        Noun::PluggableResource,
        Noun::Server,
        Noun::Customer,
        Noun::User,
        Noun::Image,
        Noun::Script,
        Noun::Blob,
        Noun::Disk,
        Noun::BillingEntity,
        Noun::Job,
        Noun::PaymentInstance,
        Noun::PaymentMethod,
    ];
    NOUNS.into_iter().find(|noun| platform.store.index().version(*noun, id).is_some())
}
