//! Ids that begin with a tenant's name and a dot are that tenant's, also where the tenant is new and the ids are not.

use crate::domain::directory::{Directory, tenant_named_by};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::refusal::{Reason, Refusal};

/// Whether everything that is on record, or would be, is called as whoever it is of may call it. Whoever has left is on
/// record for good, and would keep the tenant's own feed from the id.
///
/// # Errors
/// `ID_TAKEN`, with the id and the tenant whose name it begins with.
pub(super) fn one_owner_each(before: &Organisation, directory: &Directory) -> Result<(), Refusal> {
    let mut tenants = before.tenants.clone();
    directory.tenants.iter().for_each(|(name, tenant)| drop(tenants.insert(name.clone(), tenant.clone())));
    let people = before.people.iter().chain(&directory.people);
    let people = people.map(|(id, person)| (id.as_str(), person.tenant.as_ref()));
    let accounts = before.accounts.iter().chain(&directory.accounts);
    let accounts = accounts.map(|(id, account)| (id.as_str(), account.tenant()));
    for (id, side) in people.chain(accounts) {
        if let Some(tenant) = tenant_named_by(&tenants, id).filter(|tenant| side != Some(*tenant)) {
            let detail = format!("`{id}` is not of tenant `{tenant}`; the tenant needs another name, or the id does");
            return Err(Refusal::new(Reason::IdTaken, detail).with("id", id).with("tenant", tenant));
        }
    }
    Ok(())
}
