//! The watches of the API, each resuming where it broke off.

use tonic::Response;

use super::client::Client;
use super::watch::{Open, Watch};
use crate::wire::v1;
use crate::wire::v1::account_service_client::AccountServiceClient;
use crate::wire::v1::audit_service_client::AuditServiceClient;
use crate::wire::v1::elevation_service_client::ElevationServiceClient;
use crate::wire::v1::enrolment_service_client::EnrolmentServiceClient;
use crate::wire::v1::grant_service_client::GrantServiceClient;

impl Client {
    /// Every event about the elevations that the caller may see, or about one of them, resuming where it broke off.
    #[must_use]
    pub fn watch_elevations(&self, request: v1::WatchElevationsRequest) -> Watch<v1::WatchElevationsResponse> {
        let client = self.clone();
        let after = request.after_sequence.clone();
        self.watch(
            after,
            Box::new(move |after_sequence| {
                let request = v1::WatchElevationsRequest { after_sequence, ..request.clone() };
                let mut service = ElevationServiceClient::new(client.channel());
                Box::pin(async move { service.watch_elevations(request).await.map(Response::into_inner) })
            }),
        )
    }

    /// Every event about the enrolments that the caller may see, resuming where it broke off.
    #[must_use]
    pub fn watch_enrolments(&self, request: v1::WatchEnrolmentsRequest) -> Watch<v1::WatchEnrolmentsResponse> {
        let client = self.clone();
        self.watch(
            request.after_sequence,
            Box::new(move |after_sequence| {
                let mut service = EnrolmentServiceClient::new(client.channel());
                let request = v1::WatchEnrolmentsRequest { after_sequence };
                Box::pin(async move { service.watch_enrolments(request).await.map(Response::into_inner) })
            }),
        )
    }

    /// Every event about the accounts and persons that the caller may see, resuming where it broke off.
    #[must_use]
    pub fn watch_accounts(&self, request: v1::WatchAccountsRequest) -> Watch<v1::WatchAccountsResponse> {
        let client = self.clone();
        self.watch(
            request.after_sequence,
            Box::new(move |after_sequence| {
                let mut service = AccountServiceClient::new(client.channel());
                let request = v1::WatchAccountsRequest { after_sequence };
                Box::pin(async move { service.watch_accounts(request).await.map(Response::into_inner) })
            }),
        )
    }

    /// Every event about the grants that the caller may see, or about one of them, resuming where it broke off.
    #[must_use]
    pub fn watch_grants(&self, request: v1::WatchGrantsRequest) -> Watch<v1::WatchGrantsResponse> {
        let client = self.clone();
        let after = request.after_sequence.clone();
        self.watch(
            after,
            Box::new(move |after_sequence| {
                let request = v1::WatchGrantsRequest { after_sequence, ..request.clone() };
                let mut service = GrantServiceClient::new(client.channel());
                Box::pin(async move { service.watch_grants(request).await.map(Response::into_inner) })
            }),
        )
    }

    /// Every event that the caller may see, resuming where it broke off.
    #[must_use]
    pub fn watch_events(&self, request: v1::WatchEventsRequest) -> Watch<v1::WatchEventsResponse> {
        let client = self.clone();
        let after = request.after_sequence.clone();
        self.watch(
            after,
            Box::new(move |after_sequence| {
                let request = v1::WatchEventsRequest { after_sequence, ..request.clone() };
                let mut service = AuditServiceClient::new(client.channel());
                Box::pin(async move { service.watch_events(request).await.map(Response::into_inner) })
            }),
        )
    }

    fn watch<T>(&self, after: String, open: Open<T>) -> Watch<T> {
        Watch::new(open, after, self.clone())
    }
}
