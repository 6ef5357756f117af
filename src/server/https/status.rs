//! Codes of HTTP and of gRPC, one for the other.

use axum::http::StatusCode;
use tonic::Code as GrpcCode;

use crate::domain::value::refusal::Code;
use crate::server::status::grpc_code;

/// The code under which an answer is counted.
pub(super) fn code_of(status: StatusCode) -> GrpcCode {
    match status.as_u16() {
        200..=299 => GrpcCode::Ok,
        401 => GrpcCode::Unauthenticated,
        403 => GrpcCode::PermissionDenied,
        404 => GrpcCode::NotFound,
        405 => GrpcCode::Unimplemented,
        409 => GrpcCode::FailedPrecondition,
        413 | 429 => GrpcCode::ResourceExhausted,
        400..=499 => GrpcCode::InvalidArgument,
        503 => GrpcCode::Unavailable,
        _ => GrpcCode::Unknown,
    }
}

pub(super) fn http_status(code: Code) -> StatusCode {
    http_of(grpc_code(code))
}

pub(super) fn http_of(code: GrpcCode) -> StatusCode {
    match code {
        GrpcCode::InvalidArgument | GrpcCode::OutOfRange => StatusCode::BAD_REQUEST,
        GrpcCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        GrpcCode::PermissionDenied => StatusCode::FORBIDDEN,
        GrpcCode::NotFound => StatusCode::NOT_FOUND,
        GrpcCode::FailedPrecondition | GrpcCode::AlreadyExists => StatusCode::CONFLICT,
        GrpcCode::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        GrpcCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
